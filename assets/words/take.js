// Words of the list of exports, in one place so that a second language can follow.

export const TAKE = {
  title: "Export",
  formats: [
    [
      "yaml",
      "Settings (YAML)",
      "Every setting, and what was changed while it trained; 'train FILE.yaml' repeats the run",
    ],
    ["command", "Command", "The same as one command line"],
    [
      "script",
      "Python script",
      "Repeats the run with torch and torchvision alone; what it cannot repeat is said at its top",
    ],
  ],
  making: "Writing\u2026",
  tooLong: "The file was not written in two minutes. Try again, or use the export command in a terminal.",
};
