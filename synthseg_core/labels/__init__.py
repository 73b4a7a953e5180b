"""What label values mean: tables, sides, colours, viewer files, translations, lists made from one's own maps."""
