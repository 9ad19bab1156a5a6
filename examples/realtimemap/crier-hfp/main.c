/* crier-hfp: a feed of vehicle positions, simulated or from recordings. */
#include "options.h"

int main(int argc, char **argv)
{
    struct tool_options o;
    tool_command_fn command;
    int r = tool_options_parse(argc, argv, &o, &command);
    return r >= 0 ? r : command(&o);
}
