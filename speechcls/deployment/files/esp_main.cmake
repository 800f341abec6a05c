idf_component_register(SRCS "main.c" "../../speechcls_model.c"
                       INCLUDE_DIRS "." "../.."
                       REQUIRES esp_driver_i2s)
