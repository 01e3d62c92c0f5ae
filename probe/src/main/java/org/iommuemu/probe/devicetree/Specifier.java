package org.iommuemu.probe.devicetree;

import java.util.List;

/**
 * A reference to a node with arguments, such as {@code iommus = <&smmu 4>}.
 *
 * @param node the provider that the phandle names
 * @param args the cells after the phandle, as many as the provider's {@code #...-cells} says; immutable
 */
public record Specifier(DeviceTreeNode node, List<Integer> args) {
    /** Copies {@code args}. */
    public Specifier {
        args = List.copyOf(args);
    }
}
