package strict

// Scan is what JSON decides by wherever its quick look does not suffice.
var Scan = scan
