package org.iommuemu.probe.boot;

import java.util.ArrayList;
import java.util.List;

/**
 * What the hypervisor's command line says about IOMMUs: the words of all its {@code iommu=} options, later ones winning
 * (Xen passthrough/iommu.c, parse_iommu_param).
 *
 * @param enable {@code on}, {@code off}, {@code 0}, ...: whether IOMMUs are used at all; they are by default
 * @param force {@code force}, {@code required}: panic if I/O virtualisation cannot be enabled
 * @param verbose {@code verbose}, {@code debug}: say more
 * @param sharePt {@code sharept}, {@code no-sharept}: whether IOMMUs walk the P2M itself; they do by default
 * @param dom0Passthrough {@code dom0-passthrough}: domain 0's devices are not translated (ignored on Arm)
 * @param dom0Strict {@code dom0-strict}: domain 0's devices reach its own RAM only (always so on Arm)
 * @param unknown words that mean nothing here, each worth a warning
 */
public record IommuOptions(
        boolean enable,
        boolean force,
        boolean verbose,
        boolean sharePt,
        boolean dom0Passthrough,
        boolean dom0Strict,
        List<String> unknown) {

    private static final List<String> TRUE = List.of("yes", "on", "true", "enable", "1");
    private static final List<String> FALSE = List.of("no", "off", "false", "disable", "0");

    /**
     * Reads a command line.
     *
     * @param commandLine options separated by white space
     */
    public static IommuOptions parse(String commandLine) {
        boolean enable = true;
        boolean force = false;
        boolean verbose = false;
        boolean sharePt = true;
        boolean dom0Passthrough = false;
        boolean dom0Strict = false;
        List<String> unknown = new ArrayList<>();
        for (String option : commandLine.trim().split("\\s+")) {
            if (option.equals("iommu") || option.equals("no-iommu")) {
                enable = option.equals("iommu");
                continue;
            }
            if (!option.startsWith("iommu=")) {
                continue;
            }
            for (String word : option.substring("iommu=".length()).split(",", -1)) {
                Boolean value = bool(word);
                if (value != null) {
                    enable = value;
                } else if ((value = bool("force", word)) != null || (value = bool("required", word)) != null) {
                    force = value;
                } else if ((value = bool("verbose", word)) != null || (value = bool("debug", word)) != null) {
                    verbose = value;
                } else if ((value = bool("sharept", word)) != null) {
                    sharePt = value;
                } else if ((value = bool("dom0-passthrough", word)) != null) {
                    dom0Passthrough = value;
                } else if ((value = bool("dom0-strict", word)) != null) {
                    dom0Strict = value;
                } else {
                    unknown.add(word);
                }
            }
        }
        return new IommuOptions(enable, force, verbose, sharePt, dom0Passthrough, dom0Strict, List.copyOf(unknown));
    }

    /** Xen parse_bool: a truth value by itself, or null. */
    private static Boolean bool(String word) {
        return TRUE.contains(word) ? Boolean.TRUE : FALSE.contains(word) ? Boolean.FALSE : null;
    }

    /** Xen parse_boolean: "name", "no-name" or "name=value", or null. */
    private static Boolean bool(String name, String word) {
        if (word.equals(name)) {
            return true;
        }
        if (word.equals("no-" + name)) {
            return false;
        }
        return word.startsWith(name + "=") ? bool(word.substring(name.length() + 1)) : null;
    }
}
