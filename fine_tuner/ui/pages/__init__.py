"""The pages: the owner's, the viewers', and trying a run."""
