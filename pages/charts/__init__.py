"""Charts that stay in the browser: a component of our own around Plotly's library."""
