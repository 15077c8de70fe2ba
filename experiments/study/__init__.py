"""What every study is made of, whatever it studies."""
