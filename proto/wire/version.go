package wire

// Version is the version of this program: digits and dots only, as Mesos clients parse each part as a number.
const Version = "0.1.0"
