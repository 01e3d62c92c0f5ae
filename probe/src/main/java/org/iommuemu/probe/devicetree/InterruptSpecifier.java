package org.iommuemu.probe.devicetree;

import java.util.List;

/**
 * An interrupt as its controller names it (Devicetree Specification v0.4, 2.4).
 *
 * @param controller the node that finally takes the interrupt, behind every {@code interrupt-map}
 * @param cells the interrupt specifier, {@code #interrupt-cells} of the controller long; immutable
 */
public record InterruptSpecifier(DeviceTreeNode controller, List<Integer> cells) {
    /** Copies {@code cells}. */
    public InterruptSpecifier {
        cells = List.copyOf(cells);
    }
}
