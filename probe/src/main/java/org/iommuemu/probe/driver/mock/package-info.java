/** An IOMMU without hardware, for tests of the framework. */
package org.iommuemu.probe.driver.mock;
