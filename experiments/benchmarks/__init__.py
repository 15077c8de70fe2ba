"""Speed against what people use today; one launcher each."""
