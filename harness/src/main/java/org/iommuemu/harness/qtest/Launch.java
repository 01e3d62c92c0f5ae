package org.iommuemu.harness.qtest;

import java.nio.file.Path;
import java.util.List;

/**
 * What a command line asks for.
 *
 * @param machine the machine
 * @param qtest where qtest's commands come from; null for nowhere
 * @param qtestLog file that commands and answers are written to; null for none
 * @param monitors where QMP is spoken
 * @param others what was opened for something that is not modelled, a serial port for instance
 * @param running whether the machine runs from the beginning
 * @param misuse whether to say what software does wrong
 */
public record Launch(
        MachineConfig machine,
        Chardev qtest,
        Path qtestLog,
        List<Chardev> monitors,
        List<Chardev> others,
        boolean running,
        boolean misuse) {}
