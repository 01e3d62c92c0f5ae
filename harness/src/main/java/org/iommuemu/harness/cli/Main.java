package org.iommuemu.harness.cli;

import java.io.PrintWriter;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;

/** {@code iommu-emu}. */
@Command(
        name = "iommu-emu",
        description = "Emulates IOMMUs at the level of their registers.",
        subcommands = {
            BootCommand.class,
            ConformanceCommand.class,
            GroupsCommand.class,
            AttachCommand.class,
            ServeCommand.class,
            QtestSystemCommand.class,
            CommandLine.HelpCommand.class
        },
        mixinStandardHelpOptions = true,
        version = Main.VERSION,
        synopsisSubcommandLabel = "COMMAND",
        footer = {"", "./iommu-emu bench measures; see ./iommu-emu bench --help."})
public final class Main {
    static final String VERSION = "iommu-emu 0.1.0-SNAPSHOT";

    /** Bad input or usage. */
    static final int BAD_INPUT = 2;

    /** A bug of ours. */
    private static final int INTERNAL_ERROR = 3;

    private Main() {}

    /** Runs a command and ends the JVM with its status. */
    public static void main(String[] args) {
        System.exit(commandLine().execute(args));
    }

    /** Says in one line what is wrong with a command's input, and gives the status to end with. */
    static int badInput(CommandSpec command, String message) {
        command.commandLine().getErr().println("iommu-emu: " + message);
        return BAD_INPUT;
    }

    static CommandLine commandLine() {
        CommandLine commandLine = new CommandLine(new Main());
        commandLine.setExpandAtFiles(false);
        for (String likeQemu : new String[] {ServeCommand.NAME, QtestSystemCommand.NAME}) {
            // A single dash may precede a word: -machine is not -m achine.
            commandLine.getSubcommands().get(likeQemu).setPosixClusteredShortOptionsAllowed(false);
        }
        CommandLine.IParameterExceptionHandler standard = commandLine.getParameterExceptionHandler();
        commandLine.setParameterExceptionHandler((e, args) -> {
            if (!e.getCommandLine().getCommandName().equals(QtestSystemCommand.NAME)) {
                return standard.handleParseException(e, args);
            }
            e.getCommandLine().getErr().println(QtestSystemCommand.NAME + ": " + e.getMessage());
            return QtestSystemCommand.BAD_INPUT;
        });
        commandLine.setExecutionExceptionHandler((e, command, result) -> {
            PrintWriter err = command.getErr();
            err.println("iommu-emu: internal error, please report it: " + e);
            e.printStackTrace(err);
            return INTERNAL_ERROR;
        });
        return commandLine;
    }
}
