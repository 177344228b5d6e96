"""What each part puts on the page: a function per part, from its JSON to Markdown."""
