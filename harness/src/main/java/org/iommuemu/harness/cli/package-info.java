/** The command line {@code iommu-emu}. */
package org.iommuemu.harness.cli;
