"""The panes of the screen: lines, each made when it is seen."""
