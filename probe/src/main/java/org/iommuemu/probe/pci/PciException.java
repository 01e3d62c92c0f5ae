package org.iommuemu.probe.pci;

/** What is wrong with a topology, in one line: {@code FILE:LINE: what is wrong} or {@code FILE: ADDRESS: ...}. */
public final class PciException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private static final int LONGEST = 80;

    PciException(String where, String what, Object... args) {
        super(where + ": " + String.format(what, args));
    }

    /** A part of the file as it may stand in a message: on one line, without terminal control, and not endless. */
    static String quoted(String text) {
        String shown = text.length() > LONGEST ? text.substring(0, LONGEST) + "..." : text;
        return '"' + shown.replaceAll("[^\\x20-\\x7e]", "?") + '"';
    }
}
