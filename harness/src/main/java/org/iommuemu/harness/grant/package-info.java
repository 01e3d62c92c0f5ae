/** The other side of grant-DMA: what Xen does with grant tables, and a backend that accesses what was granted to it. */
package org.iommuemu.harness.grant;
