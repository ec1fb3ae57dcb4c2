package wire

// MaxFileChunk is how much of a file a ReadFile may ask for, in bytes: twice what a frame of the wire carries, so that
// what overtakes it does not wait long.
const MaxFileChunk = 128 << 10

// ExecWindow is how many bytes of a command's input, and as many of its output, may be on their way at a time: see ExecInput.
const ExecWindow = 256 << 10

// MaxExecChunk is how much of a command's input or output one message carries, in bytes.
const MaxExecChunk = 32 << 10
