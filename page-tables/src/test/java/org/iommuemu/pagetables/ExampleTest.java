package org.iommuemu.pagetables;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.iommuemu.mmio.Access;
import org.iommuemu.mmio.PhysicalMemory;
import org.iommuemu.mmio.Translation;
import org.junit.jupiter.api.Test;

class ExampleTest {
    private final PhysicalMemory memory = new PhysicalMemory();
    private final PageAllocator allocator = new Pages(memory);
    private final int vmid = 5;

    @Test
    void theReadmesExampleRuns() {
        Tlb tlb = new Tlb(256, 4);
        TableWriter.Geometry shape = new TableWriter.Geometry(Granule.KIB_4, 1, 40, 40);
        TableWriter table = new TableWriter(memory, allocator, shape, (input, size) -> tlb.invalidateSpace(vmid));
        table.map(0x4000_0000L, 0x8000_0000L, 4 << 20, Descriptor.STAGE2_RAM);

        TableWalk walk =
                TableWalk.stage2(memory, Granule.KIB_4, table.root(), 40, 40, 1).build();
        long before = tlb.epoch();
        long result = walk.walk(0x4020_0123L, Access.WRITE);
        if (!WalkResult.isFault(result)) {
            tlb.fill(vmid, 0, 0x4020_0123L, result, before);
        }
        assertEquals(0x8020_0123L, Translation.address(tlb.lookUp(vmid, 0, 0x4020_0123L), 0x123));
        table.unmap(0x4020_0000L, 0x1000);

        assertEquals(Tlb.MISS, tlb.lookUp(vmid, 0, 0x4020_0123L));
        assertEquals(-1, table.resolve(0x4020_0123L));
        assertEquals(0x8020_1000L, table.resolve(0x4020_1000L));
    }
}
