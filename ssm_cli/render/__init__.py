"""Views to lines of text: pure, prints nothing, knows no screen."""
