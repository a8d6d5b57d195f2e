"""Colours, sizes and fonts as a Gradio theme: system fonts, one accent, quiet lines. Rules beyond that are in assets/.

The accent is a darker neighbour of the blue that charts give to training (Okabe-Ito #0072B2), so that white text on it
has a contrast of at least 5 : 1.
"""

from __future__ import annotations

import gradio as gr
from gradio.themes.utils import colors, sizes

SANS = ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Liberation Sans", "sans-serif")
MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "monospace")
ACCENT = colors.Color(
    c50="#eef5fb", c100="#d9e9f7", c200="#b4d4ef", c300="#82b8e3", c400="#4c99d4", c500="#1f7cc0",
    c600="#0a66a8", c700="#0b5589", c800="#0d466f", c900="#0f3b5c", c950="#0a253b", name="accent",
)  # fmt: skip
NEUTRAL = colors.Color(
    c50="#f8f8f9", c100="#f1f2f3", c200="#e3e5e8", c300="#ccd0d5", c400="#979da6", c500="#686f79",
    c600="#4c525b", c700="#363b42", c800="#22262b", c900="#181b1f", c950="#111316", name="neutral",
)  # fmt: skip
_RADIUS = sizes.Size(
    name="ft_radius", xxs="2px", xs="3px", sm="4px", md="6px", lg="8px", xl="10px", xxl="12px"
)  # fmt: skip


def build_theme() -> gr.themes.Base:
    """The theme of both pages, light and dark."""
    theme = gr.themes.Base(
        primary_hue=ACCENT, secondary_hue=ACCENT, neutral_hue=NEUTRAL, text_size=sizes.text_sm,
        spacing_size=sizes.spacing_sm, radius_size=_RADIUS, font=SANS, font_mono=MONO,
    )  # fmt: skip
    return theme.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="*neutral_900",
        body_text_color_dark="#e8eaed",
        body_text_color_subdued="*neutral_500",
        body_text_color_subdued_dark="#a3a9b2",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="*neutral_900",
        background_fill_secondary="*neutral_50",
        background_fill_secondary_dark="*neutral_950",
        border_color_primary="*neutral_200",
        border_color_primary_dark="#2d3238",
        block_background_fill="*background_fill_primary",
        block_background_fill_dark="*background_fill_primary",
        block_border_width="0px",
        block_shadow="none",
        block_info_text_color="*body_text_color_subdued",
        block_info_text_color_dark="*body_text_color_subdued",
        block_title_text_weight="500",
        block_title_text_color="*body_text_color",
        block_title_text_color_dark="*body_text_color",
        input_background_fill="#ffffff",
        input_background_fill_dark="*neutral_950",
        input_border_color="*neutral_300",
        input_border_color_dark="*neutral_700",
        input_border_color_focus="*primary_500",
        input_border_color_focus_dark="*primary_400",
        input_border_width="1px",
        input_shadow="none",
        input_shadow_focus="0 0 0 2px color-mix(in srgb, *primary_500 25%, transparent)",
        input_placeholder_color="*neutral_400",
        input_placeholder_color_dark="*neutral_500",
        color_accent="*primary_600",
        color_accent_soft="*primary_50",
        color_accent_soft_dark="#14283a",
        link_text_color="*primary_600",
        link_text_color_dark="*primary_300",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        button_large_text_weight="600",
        button_transition="background-color 120ms",
        layout_gap="10px",
        form_gap_width="0px",
        section_header_text_weight="600",
    )  # fmt: skip
