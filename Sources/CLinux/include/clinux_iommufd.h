#pragma once
#include <stdint.h>

/* What iommufd and vfio cdevs take and give (include/uapi/linux/iommufd.h, vfio.h): every structure begins with its
 * size. The names of the fields are the kernel's; "reserved" has to be zero. */

struct clinux_iommu_destroy {
    uint32_t size, id;
};

struct clinux_iommu_ioas_alloc {
    uint32_t size, flags, out_ioas_id;
};

struct clinux_iommu_iova_range {
    uint64_t start, last;
};

struct clinux_iommu_ioas_iova_ranges {
    uint32_t size, ioas_id, num_iovas, reserved;
    uint64_t allowed_iovas, out_iova_alignment;
};

struct clinux_iommu_ioas_allow_iovas {
    uint32_t size, ioas_id, num_iovas, reserved;
    uint64_t allowed_iovas;
};

struct clinux_iommu_ioas_map {
    uint32_t size, flags, ioas_id, reserved;
    uint64_t user_va, length, iova;
};

struct clinux_iommu_ioas_map_file {
    uint32_t size, flags, ioas_id;
    int32_t fd;
    uint64_t start, length, iova;
};

struct clinux_iommu_ioas_copy {
    uint32_t size, flags, dst_ioas_id, src_ioas_id;
    uint64_t length, dst_iova, src_iova;
};

struct clinux_iommu_ioas_unmap {
    uint32_t size, ioas_id;
    uint64_t iova, length;
};

struct clinux_iommu_option {
    uint32_t size, option_id;
    uint16_t op, reserved;
    uint32_t object_id;
    uint64_t val64;
};

struct clinux_iommu_hwpt_alloc {
    uint32_t size, flags, dev_id, pt_id, out_hwpt_id, reserved, data_type, data_len;
    uint64_t data_uptr;
    uint32_t fault_id, reserved2;
};

struct clinux_iommu_hw_info {
    uint32_t size, flags, dev_id, data_len;
    uint64_t data_uptr;
    uint32_t out_data_type;
    uint8_t out_max_pasid_log2, reserved[3];
    uint64_t out_capabilities;
};

struct clinux_iommu_hw_info_arm_smmuv3 {
    uint32_t flags, reserved, idr[6], iidr, aidr;
};

struct clinux_iommu_hwpt_set_dirty_tracking {
    uint32_t size, flags, hwpt_id, reserved;
};

struct clinux_iommu_hwpt_get_dirty_bitmap {
    uint32_t size, hwpt_id, flags, reserved;
    uint64_t iova, length, page_size, data;
};

struct clinux_iommu_hwpt_invalidate {
    uint32_t size, hwpt_id;
    uint64_t data_uptr;
    uint32_t data_type, entry_len, entry_num, reserved;
};

struct clinux_iommu_fault_alloc {
    uint32_t size, flags, out_fault_id;
    int32_t out_fault_fd;
};

/* What a fault queue's descriptor reads as, and what is written to it. */
struct clinux_iommu_hwpt_pgfault {
    uint32_t flags, dev_id, pasid, grpid, perm, reserved;
    uint64_t addr;
    uint32_t length, cookie;
};

struct clinux_iommu_hwpt_page_response {
    uint32_t cookie, code;
};

struct clinux_iommu_viommu_alloc {
    uint32_t size, flags, type, dev_id, hwpt_id, out_viommu_id, data_len, reserved;
    uint64_t data_uptr;
};

struct clinux_iommu_vdevice_alloc {
    uint32_t size, viommu_id, dev_id, out_vdevice_id;
    uint64_t virt_id;
};

struct clinux_iommu_ioas_change_process {
    uint32_t size, reserved;
};

struct clinux_iommu_veventq_alloc {
    uint32_t size, flags, viommu_id, type, veventq_depth, out_veventq_id;
    int32_t out_veventq_fd;
    uint32_t reserved;
};

/* What stands before each event that the descriptor of a veventq reads as; the lost ones have only this. */
struct clinux_iommufd_vevent_header {
    uint32_t flags, sequence;
};

struct clinux_vfio_device_bind_iommufd {
    uint32_t argsz, flags;
    int32_t iommufd;
    uint32_t out_devid;
    uint64_t token_uuid_ptr;
};

struct clinux_vfio_device_attach_iommufd_pt {
    uint32_t argsz, flags, pt_id, pasid;
};

struct clinux_vfio_device_detach_iommufd_pt {
    uint32_t argsz, flags, pasid;
};

/* ioctl(2) with a structure: 0 or -errno. */
int clinux_ioctl(int fd, unsigned long request, void *argument);
