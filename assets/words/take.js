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
    ["onnx", "Network (ONNX)", "For onnxruntime; written and checked against PyTorch on validation pictures"],
    [
      "html",
      "Page without a server",
      "One HTML file that runs the network in a browser, on any computer or phone: pictures or camera",
    ],
    ["csv", "Numbers (CSV)", "Every recorded number, a row per step"],
  ],
  making: "Writing\u2026",
  tooLong: "The file was not written in two minutes. Try again, or use the export command in a terminal.",
};
