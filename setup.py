"""What pyproject.toml has no words for: ``assets/``, beside the package in the checkout, lies inside it in a wheel."""

from pathlib import Path

from setuptools import find_namespace_packages, setup

FOLDERS = [Path("assets"), *(folder for folder in Path("assets").iterdir() if folder.is_dir())]

setup(
    packages=[*find_namespace_packages(include=["fine_tuner*"]), *(f"fine_tuner.{'.'.join(f.parts)}" for f in FOLDERS)],
    package_dir={"fine_tuner.assets": "assets"},
)
