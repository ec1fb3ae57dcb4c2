package wire

// Version is the version of this program: digits and dots only, as Mesos clients parse each part as a number.
const Version = "0.1.0"

// PeersName is the name of the actor of every daemon that answers ListPeers.
const PeersName = "peers"
