package org.iommuemu.harness.qtest;

import java.math.BigInteger;
import java.util.OptionalLong;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/** Numbers as C's {@code strtoull} with base 0 reads them: decimal, hexadecimal with 0x, octal with 0. */
final class Numbers {
    private static final Pattern NUMBER = Pattern.compile("\\s*([+-]?)(?:0[xX]([0-9a-fA-F]+)|(0[0-7]*)|([1-9][0-9]*))");

    private Numbers() {}

    /** A number of at most 64 bits, negative ones in two's complement; empty if the text is something else. */
    static OptionalLong parse(String text) {
        Matcher matcher = NUMBER.matcher(text);
        if (!matcher.matches()) {
            return OptionalLong.empty();
        }
        BigInteger magnitude = matcher.group(2) != null
                ? new BigInteger(matcher.group(2), 16)
                : matcher.group(3) != null ? new BigInteger(matcher.group(3), 8) : new BigInteger(matcher.group(4));
        if (magnitude.bitLength() > 64) {
            return OptionalLong.empty();
        }
        return OptionalLong.of(matcher.group(1).equals("-") ? -magnitude.longValue() : magnitude.longValue());
    }
}
