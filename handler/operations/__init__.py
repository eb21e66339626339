"""What commands and the page both do for an operator: finds, words and makes things; prints and serves nothing."""
