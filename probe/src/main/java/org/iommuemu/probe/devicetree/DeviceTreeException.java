package org.iommuemu.probe.devicetree;

/**
 * What is wrong with a device tree, in one line: {@code NAME: /node/path: property: what is wrong}, with the offset in
 * the blob or the value at fault. Parts that are not known are left out. Names that come from the blob are cut to 256
 * characters, and their unprintable characters are escaped.
 */
public final class DeviceTreeException extends RuntimeException {
    private static final long serialVersionUID = 1;

    private static final int LONGEST = 256;

    /** @param where what the message names, from the tree to the property, in that order */
    DeviceTreeException(String what, String... where) {
        super(message(what, where));
    }

    private static String message(String what, String[] where) {
        StringBuilder line = new StringBuilder();
        for (String part : where) {
            line.append(printable(part)).append(": ");
        }
        return line.append(what).toString();
    }

    /** A name from the blob as it may stand in a log: on one line, without terminal control, and not endless. */
    static String printable(String name) {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < name.length(); i++) {
            if (i == LONGEST) {
                return text.append("...").toString();
            }
            char c = name.charAt(i);
            if (c >= ' ' && c <= '~' || Character.isLetterOrDigit(c)) {
                text.append(c);
            } else {
                text.append(String.format("\\u%04x", (int) c));
            }
        }
        return text.toString();
    }
}
