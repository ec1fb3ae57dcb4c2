package mesos

// FrameworkFileScheme begins the value of a CommandInfo.URI that names a file which the framework's scheduler itself
// offers: stoa-file:///NAME#sha256=HEX. It is an addition of Stoa's: the slave asks the scheduler, over the master, for the
// content with that checksum.
const FrameworkFileScheme = "stoa-file"
