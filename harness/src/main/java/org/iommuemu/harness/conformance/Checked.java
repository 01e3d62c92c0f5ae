package org.iommuemu.harness.conformance;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.StreamReadFeature;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;

/**
 * A value of a JSON document that knows where it stands, so that what is wrong with it can be said.
 *
 * @param where file, line, and the way from there
 */
record Checked(String where, JsonNode node) {
    private static final JsonMapper JSON = JsonMapper.builder()
            .enable(StreamReadFeature.STRICT_DUPLICATE_DETECTION)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .build();

    /** Parses a document, which must be an object. */
    static Checked parse(String where, String text) throws ConformanceException {
        JsonNode node;
        try {
            node = JSON.readTree(text);
        } catch (JsonProcessingException e) {
            String place =
                    e.getLocation() == null ? "" : ", column " + e.getLocation().getColumnNr();
            throw new ConformanceException(where + place + ": not JSON: "
                    + e.getOriginalMessage().lines().findFirst().orElse(""));
        }
        Checked document = new Checked(where, node);
        if (!node.isObject()) {
            throw document.wrong("not an object");
        }
        return document;
    }

    ConformanceException wrong(String what) {
        return new ConformanceException(where + ": " + what);
    }

    /** The same value, further described. */
    Checked at(String place) {
        return new Checked(where + ", " + place, node);
    }

    boolean has(String name) {
        return node.hasNonNull(name);
    }

    /** A field that has to be there. */
    Checked get(String name) throws ConformanceException {
        if (!node.isObject()) {
            throw wrong("not an object");
        }
        if (!has(name)) {
            throw wrong("\"" + name + "\" is missing");
        }
        return new Checked(where + ", " + name, node.get(name));
    }

    List<Checked> elements() throws ConformanceException {
        if (!node.isArray()) {
            throw wrong("not an array");
        }
        List<Checked> elements = new ArrayList<>();
        for (JsonNode element : node) {
            elements.add(new Checked(where + "[" + elements.size() + "]", element));
        }
        return elements;
    }

    /** The elements of an array that may be missing. */
    List<Checked> elements(String name) throws ConformanceException {
        return has(name) ? get(name).elements() : List.of();
    }

    List<Checked> elements(int count) throws ConformanceException {
        List<Checked> elements = elements();
        if (elements.size() != count) {
            throw wrong("has %d elements, not %d".formatted(elements.size(), count));
        }
        return elements;
    }

    String text() throws ConformanceException {
        if (!node.isTextual()) {
            throw wrong("not a string");
        }
        return node.textValue();
    }

    int integer(int least, int most) throws ConformanceException {
        if (!node.isIntegralNumber() || !node.canConvertToInt() || node.intValue() < least || node.intValue() > most) {
            throw wrong("%s is not an integer in %d to %d".formatted(node, least, most));
        }
        return node.intValue();
    }

    /** A number in hex digits. */
    long number(int bits) throws ConformanceException {
        String digits = text();
        long value;
        try {
            value = Long.parseUnsignedLong(digits, 16);
        } catch (NumberFormatException e) {
            throw wrong("\"" + digits + "\" is not a number of up to 16 hex digits");
        }
        if (bits < 64 && value >>> bits != 0) {
            throw wrong("0x%s does not fit into %d bits".formatted(digits, bits));
        }
        return value;
    }

    byte[] bytes() throws ConformanceException {
        try {
            return HexFormat.of().parseHex(text());
        } catch (IllegalArgumentException e) {
            throw wrong("not bytes in hex digits: " + e.getMessage());
        }
    }

    byte[] bytes(int count) throws ConformanceException {
        byte[] bytes = bytes();
        if (bytes.length != count) {
            throw wrong("has %d bytes, not %d".formatted(bytes.length, count));
        }
        return bytes;
    }
}
