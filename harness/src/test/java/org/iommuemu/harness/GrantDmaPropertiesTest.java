package org.iommuemu.harness;

import static org.iommuemu.harness.GrantDmaTest.BACKEND;
import static org.iommuemu.harness.GrantDmaTest.GUEST;
import static org.iommuemu.harness.GrantDmaTest.PAGE;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import net.jqwik.api.ForAll;
import net.jqwik.api.Property;
import org.iommuemu.harness.grant.Backend;
import org.iommuemu.mmio.DmaPort;
import org.iommuemu.probe.iommu.Errno;

/** What holds for any sequence of grants and accesses. */
class GrantDmaPropertiesTest {
    /** Whatever is granted, taken back and accessed by whom: a backend sees what is granted to it at that time, and no more. */
    @Property(tries = 60)
    void aBackendReachesWhatIsGrantedToItAndNothingElse(@ForAll long seed) {
        record Grant(long address, int page, int pages, boolean readOnly) {}
        Random random = new Random(seed);
        GrantDmaTest rig = new GrantDmaTest();
        List<Grant> grants = new ArrayList<>();
        for (int step = 0; step < 80; step++) {
            if (random.nextInt(3) == 0) {
                int page = random.nextInt(12);
                int pages = 1 + random.nextInt(4);
                boolean readOnly = random.nextBoolean();
                long address = rig.map(GUEST + (long) page * PAGE, (long) pages * PAGE, readOnly);
                grants.add(new Grant(address, page, pages, readOnly));
            } else if (!grants.isEmpty() && random.nextInt(4) == 0) {
                Grant grant = grants.remove(random.nextInt(grants.size()));
                assertEquals(Errno.OK, rig.mixed.grants.unmapPage(rig.device, grant.address));
            }
            long address = 1L << 63 | random.nextInt(40) * (long) PAGE | random.nextInt(PAGE - 4);
            boolean write = random.nextBoolean();
            int by = random.nextInt(4) == 0 ? 2 : BACKEND;
            boolean allowed = by == BACKEND
                    && grants.stream()
                            .anyMatch(g -> address >= g.address
                                    && address < g.address + (long) g.pages * PAGE
                                    && !(write && g.readOnly));
            byte[] bytes = {(byte) step, 1, 2, 3};
            Backend asking = rig.mixed.backend(rig.domain, by);
            DmaPort.Response response = write ? asking.write(address, bytes, 0, 4) : asking.read(address, bytes, 0, 4);
            assertEquals(allowed ? DmaPort.Response.OK : DmaPort.Response.ABORT, response);
            assertEquals(allowed ? 0 : 1, rig.mixed.takeFaults().size());
            if (allowed && write) {
                Grant grant = grants.stream()
                        .filter(g -> address >= g.address && address < g.address + (long) g.pages * PAGE)
                        .findFirst()
                        .orElseThrow();
                long offset = (long) grant.page * PAGE + (address - grant.address);
                byte[] seen = new byte[1];
                rig.mixed.board.memory().read(rig.mixed.ram(offset), seen, 0, 1);
                assertEquals((byte) step, seen[0]);
            }
        }
    }
}
