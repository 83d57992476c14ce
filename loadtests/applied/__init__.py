"""How soon new weights are in force: from the API's answer to the first requests by them."""
