package org.iommuemu.harness.qtest;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * An option's argument in QEMU's form: {@code first,key=value,flag,noflag}. A comma in a value is written twice; a flag
 * is short for {@code flag=on}, {@code noflag} for {@code flag=off}. What is asked for is taken out, so that the rest is
 * what nobody knows.
 */
final class KeyValues {
    private final String option;
    private final Map<String, String> values;

    private KeyValues(String option, Map<String, String> values) {
        this.option = option;
        this.values = new LinkedHashMap<>(values);
    }

    /** What is known already. */
    static KeyValues of(String option, Map<String, String> values) {
        return new KeyValues(option, values);
    }

    /**
     * Parses an argument.
     *
     * @param option for messages, {@code -device} for instance
     * @param firstKey the key that the first word belongs to if it has none
     */
    static KeyValues parse(String option, String argument, String firstKey) {
        List<String> words = split(argument);
        String head = words.get(0);
        boolean headHasKey = head.contains("=");
        KeyValues parsed = new KeyValues(option, headHasKey ? Map.of() : Map.of(firstKey, head));
        for (String word : words.subList(headHasKey ? 0 : 1, words.size())) {
            int equals = word.indexOf('=');
            if (equals >= 0) {
                parsed.values.put(word.substring(0, equals), word.substring(equals + 1));
            } else if (word.startsWith("no") && word.length() > 2) {
                parsed.values.put(word.substring(2), "off");
            } else if (!word.isEmpty()) {
                parsed.values.put(word, "on");
            }
        }
        return parsed;
    }

    private static List<String> split(String argument) {
        List<String> words = new ArrayList<>();
        StringBuilder word = new StringBuilder();
        for (int i = 0; i < argument.length(); i++) {
            char c = argument.charAt(i);
            if (c != ',') {
                word.append(c);
            } else if (i + 1 < argument.length() && argument.charAt(i + 1) == ',') {
                word.append(c);
                i++;
            } else {
                words.add(word.toString());
                word.setLength(0);
            }
        }
        words.add(word.toString());
        return words;
    }

    /** What nobody has taken yet. */
    Map<String, String> rest() {
        return values;
    }

    /** Takes a value out; null if it is not there. */
    String take(String key) {
        return values.remove(key);
    }

    String take(String key, String otherwise) {
        String value = take(key);
        return value == null ? otherwise : value;
    }

    boolean takeSwitch(String key, boolean otherwise) {
        String value = take(key);
        if (value == null) {
            return otherwise;
        }
        return switch (value) {
            case "on", "yes", "true", "y" -> true;
            case "off", "no", "false", "n" -> false;
            default -> throw new MachineException("%s: %s=%s: it is on or off".formatted(option, key, value));
        };
    }

    /** Takes out what means nothing here. */
    void ignore(Set<String> keys) {
        values.keySet().removeAll(keys);
    }

    /** @throws MachineException if something is left that nobody took */
    void nothingLeft(String owner) {
        for (String key : values.keySet()) {
            throw new MachineException("%s: %s has no property '%s'".formatted(option, owner, key));
        }
    }
}
