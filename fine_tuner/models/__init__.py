"""Networks: what torchvision's registry lists, built with a new head, frozen in part, loaded and saved.

Nothing here knows runs or the settings tree; arguments are flat. No table of networks is kept by hand: heads, stages
and legal image sizes are asked of the network itself.
"""
