// The transport of a ring whose slots are pinned memory and whose destination is the memory of a device.
#pragma once

#include <cstddef>
#include <memory>

#include "../io/transport.h"

namespace weightkin {

std::shared_ptr<Transport> make_device_transport(int device, std::size_t slots, std::size_t slot_bytes);

}  // namespace weightkin
