package actor_test

import "runtime"

func goexit() { runtime.Goexit() }
