package org.iommuemu.harness.nativedriver;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import java.io.IOException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.iommuemu.harness.nativedriver.Rig.Kind;
import org.iommuemu.mmio.BusListener;
import org.iommuemu.probe.devicetree.DeviceTreeNode;
import org.iommuemu.probe.iommu.Device;
import org.iommuemu.probe.iommu.Domain;
import org.iommuemu.probe.iommu.Errno;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What our drivers write to registers and queues, next to what Xen's do. */
@Tag("xen")
class XenSequencesTest {
    private static final long PAGE = Rig.PAGE;
    private static final long INPUT = Rig.INPUT;

    /** Registers of an SMMUv3 (IHI 0070, 6.3). */
    private static final int STRTAB_BASE = 0x80;

    private static final int CMDQ_BASE = 0x90;
    private static final int CMDQ_PROD = 0x98;
    private static final long BASE_ADDRESS = 0x000f_ffff_ffff_ffc0L;

    /** Where and how large queues and the stream table are: STRTAB_BASE, CMDQ_BASE, CMDQ_PROD, EVENTQ_BASE. */
    private static final Set<Integer> OWN_CHOICE = Set.of(STRTAB_BASE, CMDQ_BASE, CMDQ_PROD, 0xa0);

    @BeforeEach
    void needXen() throws IOException {
        Xen.need();
    }

    /**
     * Ours are to do what Xen's do: the same writes of the same registers, and the same commands, in the same order; of
     * SMMUs each for itself. (At a domain's end ours alone invalidates its VMID, see {@link
     * #aVmidIsNobodyElsesBeforeItIsInvalidated}.)
     */
    @ParameterizedTest
    @EnumSource(Kind.class)
    void ourDriverProgramsTheUnitsAsXensDoes(Kind kind) throws IOException {
        List<String> xens;
        List<String> ours;
        try (Rig rig = Xen.rig(kind)) {
            xens = programmed(rig, kind);
        }
        try (Rig rig = Rig.of(kind, Rig.Source.JAVA)) {
            ours = programmed(rig, kind);
        }
        assertFalse(xens.isEmpty());
        assertEquals(String.join("\n", xens), String.join("\n", ours));
    }

    /** What a driver writes from the boot to the end of two domains. */
    private static List<String> programmed(Rig rig, Kind kind) {
        List<String> writes = new ArrayList<>();
        rig.board.bus().addListener(new BusListener() {
            private final Map<Long, Integer> produced = new HashMap<>();

            @Override
            public void onWrite(long address, int size, long value) {
                for (DeviceTreeNode unit : rig.board.tree().nodes()) {
                    if (rig.driver.matches(unit) && address >= Xen.base(unit) && address - Xen.base(unit) < 0x2_0000) {
                        long offset = address - Xen.base(unit);
                        if (kind == Kind.IPMMU || !OWN_CHOICE.contains((int) offset)) {
                            writes.add("%s+%x/%d=%x".formatted(unit, offset, size, value));
                        } else if (offset == CMDQ_PROD) {
                            commands(rig, unit, (int) value);
                        }
                    }
                }
            }

            /** Queues may differ in size and place; what counts is what is in them. */
            private void commands(Rig rig, DeviceTreeNode unit, int end) {
                long queueBase = rig.board.bus().read64(Xen.base(unit) + CMDQ_BASE);
                int mask = (1 << (queueBase & 0x1f)) - 1;
                long queue = queueBase & BASE_ADDRESS & ~0x1fL;
                for (int at = produced.getOrDefault(Xen.base(unit), 0); (at & mask) != (end & mask); at++) {
                    long command = queue + 16L * (at & mask);
                    writes.add("%s: command %x %x"
                            .formatted(
                                    unit,
                                    rig.board.memory().read64(command),
                                    rig.board.memory().read64(command + 8)));
                }
                produced.put(Xen.base(unit), end);
            }
        });
        rig.booted();
        Device one = rig.device(kind.first);
        Device two = rig.device(kind.second);
        Domain a = rig.domain(1);
        Domain b = rig.domain(2);
        rig.attach(a, one);
        rig.attach(a, two);
        rig.map(a, INPUT, rig.ram(0), PAGE);
        rig.unmap(a, INPUT, PAGE);
        rig.write(one, INPUT);
        rig.board.interrupts().dispatch();
        assertEquals(Errno.OK, rig.iommus.deassign(a, two));
        rig.attach(b, two);
        if (kind == Kind.IPMMU) {
            rig.iommus.destroy(a);
            rig.iommus.destroy(b);
        } else {
            writes.sort(Comparator.comparing(line -> line.split("[:+]")[0]));
        }
        return writes;
    }
}
