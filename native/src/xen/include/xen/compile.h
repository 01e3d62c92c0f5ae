/* In place of what Xen's build generates. */
#define XEN_VERSION 4
#define XEN_SUBVERSION 17
#define XEN_COMPILE_DATE ""
#define XEN_COMPILER ""
