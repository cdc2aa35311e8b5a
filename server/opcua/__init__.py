"""The OPC UA server on asyncua: nodes derived from the model, values from the store, rights from the roles."""
