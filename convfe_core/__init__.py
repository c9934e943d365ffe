"""Look at convolutional backbones: max and mean maps, separation, ranking; no Streamlit in here."""
