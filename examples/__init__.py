"""Training loops of other libraries, each with robustjax put into it."""
