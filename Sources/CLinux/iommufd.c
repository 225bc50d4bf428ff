#include "clinux_iommufd.h"

#include <errno.h>
#include <stddef.h>
#include <sys/ioctl.h>

int clinux_ioctl(int fd, unsigned long request, void *argument)
{
    return ioctl(fd, request, argument) < 0 ? -errno : 0;
}

/* Bytes on every architecture: only fields of fixed width, each at a multiple of its own size. */
_Static_assert(sizeof(struct clinux_iommu_ioas_map_file) == 40, "IOMMU_IOAS_MAP_FILE");
_Static_assert(sizeof(struct clinux_iommu_ioas_copy) == 40, "IOMMU_IOAS_COPY");
_Static_assert(sizeof(struct clinux_iommu_option) == 24, "IOMMU_OPTION");
_Static_assert(sizeof(struct clinux_iommu_hwpt_alloc) == 48, "IOMMU_HWPT_ALLOC");
_Static_assert(offsetof(struct clinux_iommu_hwpt_alloc, fault_id) == 40, "IOMMU_HWPT_ALLOC");
_Static_assert(sizeof(struct clinux_iommu_hw_info) == 40, "IOMMU_GET_HW_INFO");
_Static_assert(sizeof(struct clinux_iommu_hwpt_get_dirty_bitmap) == 48, "IOMMU_HWPT_GET_DIRTY_BITMAP");
_Static_assert(sizeof(struct clinux_iommu_hwpt_invalidate) == 32, "IOMMU_HWPT_INVALIDATE");
_Static_assert(sizeof(struct clinux_iommu_hwpt_pgfault) == 40, "a page fault");
_Static_assert(sizeof(struct clinux_iommu_viommu_alloc) == 40, "IOMMU_VIOMMU_ALLOC");
_Static_assert(sizeof(struct clinux_iommu_vdevice_alloc) == 24, "IOMMU_VDEVICE_ALLOC");
_Static_assert(sizeof(struct clinux_iommu_veventq_alloc) == 32, "IOMMU_VEVENTQ_ALLOC");
_Static_assert(sizeof(struct clinux_vfio_device_bind_iommufd) == 24, "VFIO_DEVICE_BIND_IOMMUFD");
