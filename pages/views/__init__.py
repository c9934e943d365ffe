"""The scripts of the pages; not in `pages/` itself, where Streamlit would run them without dashboard.py."""
