// compose-check reads compose files as the compose tool does and exits 1 with what is wrong: unknown keys,
// undefined services, unset variables. It needs no container engine.
//
//	compose-check FILE...
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/compose-spec/compose-go/v2/cli"
)

func main() {
	options, err := cli.NewProjectOptions(os.Args[1:], cli.WithOsEnv, cli.WithName("oneknock"), cli.WithProfiles([]string{"*"}))
	if err == nil {
		project, problem := options.LoadProject(context.Background())
		if err = problem; err == nil {
			for _, name := range project.ServiceNames() {
				fmt.Println(name)
			}
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
