package org.iommuemu.harness.conformance;

import com.fasterxml.jackson.annotation.JsonIgnore;
import java.util.List;
import java.util.Map;

/**
 * What came of conformance cases. Its components but the last are the fields of the JSON object that
 * {@code conformance --json} prints.
 *
 * @param passed cases
 * @param failed cases
 * @param skipped cases that need what the machine does not have
 * @param categories the same figures by category, in the order of the cases
 * @param failures the first difference of each case that failed
 * @param skips why cases were skipped, one line each
 */
public record ConformanceReport(
        int passed,
        int failed,
        int skipped,
        Map<String, Count> categories,
        List<Failure> failures,
        @JsonIgnore List<String> skips) {

    /** Cases of a category. */
    public record Count(int passed, int failed, int skipped) {}

    /**
     * A case that failed.
     *
     * @param authority "architecture", "permitted" or "qemu-only"
     * @param step where it did, counted from 0
     * @param what got and expected, in one line
     */
    public record Failure(String id, String authority, int step, String what) {}
}
