package org.iommuemu.probe.pci;

/**
 * Two functions that belong into one group.
 *
 * @param rule the rule that says so
 * @param a one
 * @param b the other
 * @param why for a person
 */
public record Bond(Rule rule, PciFunction a, PciFunction b, String why) {}
