/*
 * In place of what Xen's build generates of its Kconfig: an AArch64 Xen with device trees and both drivers, and with
 * assertions.
 */
#define CONFIG_64BIT 1
#define CONFIG_ARM_64 1
#define CONFIG_NR_CPUS 1
#define CONFIG_DEBUG 1
#define CONFIG_HAS_DEVICE_TREE 1
#define CONFIG_HAS_PASSTHROUGH 1
#define CONFIG_HAS_PDX 1
#define CONFIG_HVM 1
#define CONFIG_IOMMU_FORCE_PT_SHARE 1
#define CONFIG_ARM_SMMU_V3 1
#define CONFIG_IPMMU_VMSA 1
#define CONFIG_CC_IS_GCC 1
#define CONFIG_GCC_VERSION 120000
#define CONFIG_SCHED_CREDIT2 1
