/** Replays conformance cases of the SMMUv3: reads them, checks the model against them, reports. */
package org.iommuemu.harness.conformance;
