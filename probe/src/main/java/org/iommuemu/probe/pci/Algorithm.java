package org.iommuemu.probe.pci;

/** Ways to come to groups. */
public enum Algorithm {
    /** From topology alone, before any driver probes. */
    TOPOLOGY,
    /** Linux' on Arm until 2025: a function looks for a group when its driver probes. */
    HISTORIC,
    /** The historic one, and a function's driver waits until its bridge's driver is bound (proposed in February 2020). */
    DEVICE_LINKS
}
