"""The page: FastAPI with Gradio mounted on it. Nothing here, nor anything imported from here, imports torch."""
