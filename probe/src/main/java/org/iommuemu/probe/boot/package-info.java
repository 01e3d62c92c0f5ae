/** The boot sequence: command line, {@code iommu_setup}, deferred probing, panic. */
package org.iommuemu.probe.boot;
